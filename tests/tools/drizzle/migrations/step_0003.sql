ALTER TABLE `book_tag` RENAME TO `book_label`;--> statement-breakpoint
ALTER TABLE `tag` RENAME TO `label`;--> statement-breakpoint
ALTER TABLE `book_label` RENAME COLUMN "tag_id" TO "label_id";--> statement-breakpoint
ALTER TABLE `book` RENAME COLUMN "pages" TO "page_count";--> statement-breakpoint
PRAGMA foreign_keys=OFF;--> statement-breakpoint
CREATE TABLE `__new_book_label` (
	`book_id` integer NOT NULL,
	`label_id` integer NOT NULL,
	PRIMARY KEY(`book_id`, `label_id`),
	FOREIGN KEY (`book_id`) REFERENCES `book`(`id`) ON UPDATE no action ON DELETE cascade,
	FOREIGN KEY (`label_id`) REFERENCES `label`(`id`) ON UPDATE no action ON DELETE cascade
);
--> statement-breakpoint
INSERT INTO `__new_book_label`("book_id", "label_id") SELECT "book_id", "label_id" FROM `book_label`;--> statement-breakpoint
DROP TABLE `book_label`;--> statement-breakpoint
ALTER TABLE `__new_book_label` RENAME TO `book_label`;--> statement-breakpoint
PRAGMA foreign_keys=ON;