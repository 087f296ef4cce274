CREATE UNIQUE INDEX `book_author_title` ON `book` (`author_id`,`title`);--> statement-breakpoint
CREATE UNIQUE INDEX `label_name_unique` ON `label` (`name`);