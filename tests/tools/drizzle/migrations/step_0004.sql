PRAGMA foreign_keys=OFF;--> statement-breakpoint
CREATE TABLE `__new_book` (
	`id` integer PRIMARY KEY NOT NULL,
	`title` text NOT NULL,
	`isbn` text NOT NULL,
	`page_count` text DEFAULT '0' NOT NULL,
	`price` numeric DEFAULT '0' NOT NULL,
	`author_id` integer NOT NULL,
	FOREIGN KEY (`author_id`) REFERENCES `author`(`id`) ON UPDATE no action ON DELETE cascade
);
--> statement-breakpoint
INSERT INTO `__new_book`("id", "title", "isbn", "page_count", "price", "author_id") SELECT "id", "title", "isbn", "page_count", "price", "author_id" FROM `book`;--> statement-breakpoint
DROP TABLE `book`;--> statement-breakpoint
ALTER TABLE `__new_book` RENAME TO `book`;--> statement-breakpoint
PRAGMA foreign_keys=ON;--> statement-breakpoint
CREATE UNIQUE INDEX `book_isbn_unique` ON `book` (`isbn`);--> statement-breakpoint
CREATE INDEX `book_title` ON `book` (`title`);