ALTER TABLE `author` DROP COLUMN `country`;--> statement-breakpoint
ALTER TABLE `book` DROP COLUMN `price`;