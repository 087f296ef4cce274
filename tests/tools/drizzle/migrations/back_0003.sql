ALTER TABLE `book_label` RENAME TO `book_tag`;--> statement-breakpoint
ALTER TABLE `label` RENAME TO `tag`;--> statement-breakpoint
ALTER TABLE `book_tag` RENAME COLUMN "label_id" TO "tag_id";--> statement-breakpoint
ALTER TABLE `book` RENAME COLUMN "page_count" TO "pages";--> statement-breakpoint
PRAGMA foreign_keys=OFF;--> statement-breakpoint
CREATE TABLE `__new_book_tag` (
	`book_id` integer NOT NULL,
	`tag_id` integer NOT NULL,
	PRIMARY KEY(`book_id`, `tag_id`),
	FOREIGN KEY (`book_id`) REFERENCES `book`(`id`) ON UPDATE no action ON DELETE cascade,
	FOREIGN KEY (`tag_id`) REFERENCES `tag`(`id`) ON UPDATE no action ON DELETE cascade
);
--> statement-breakpoint
INSERT INTO `__new_book_tag`("book_id", "tag_id") SELECT "book_id", "tag_id" FROM `book_tag`;--> statement-breakpoint
DROP TABLE `book_tag`;--> statement-breakpoint
ALTER TABLE `__new_book_tag` RENAME TO `book_tag`;--> statement-breakpoint
PRAGMA foreign_keys=ON;