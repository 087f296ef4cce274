// The tables as they are after the last migration.
import {
  index,
  integer,
  numeric,
  primaryKey,
  sqliteTable,
  text,
  uniqueIndex,
} from 'drizzle-orm/sqlite-core';

export const author = sqliteTable('author', {
  id: integer('id').primaryKey(),
  name: text('name').notNull(),
  email: text('email').notNull().unique(),
});

export const label = sqliteTable('label', {
  id: integer('id').primaryKey(),
  name: text('name').notNull().unique(),
});

export const book = sqliteTable(
  'book',
  {
    id: integer('id').primaryKey(),
    title: text('title').notNull(),
    isbn: text('isbn').notNull().unique(),
    page_count: text('page_count').notNull().default('0'),
    price: numeric('price').notNull().default('0'),
    author_id: integer('author_id')
      .notNull()
      .references(() => author.id, { onDelete: 'cascade' }),
  },
  (table) => [
    index('book_title').on(table.title),
    uniqueIndex('book_author_title').on(table.author_id, table.title),
  ],
);

export const book_label = sqliteTable(
  'book_label',
  {
    book_id: integer('book_id')
      .notNull()
      .references(() => book.id, { onDelete: 'cascade' }),
    label_id: integer('label_id')
      .notNull()
      .references(() => label.id, { onDelete: 'cascade' }),
  },
  (table) => [primaryKey({ columns: [table.book_id, table.label_id] })],
);
