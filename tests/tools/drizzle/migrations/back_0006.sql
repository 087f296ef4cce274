DROP INDEX `book_author_title`;--> statement-breakpoint
DROP INDEX `label_name_unique`;