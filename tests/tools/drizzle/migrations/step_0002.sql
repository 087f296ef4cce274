ALTER TABLE `author` ADD `country` text;--> statement-breakpoint
ALTER TABLE `book` ADD `price` numeric DEFAULT '0' NOT NULL;