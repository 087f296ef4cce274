// The entities as they are after the last migration.
const { EntitySchema } = require('typeorm');

const id = { type: 'integer', primary: true, generated: 'increment' };

const Author = new EntitySchema({
  name: 'Author',
  tableName: 'author',
  columns: {
    id,
    name: { type: 'varchar', length: 100 },
    email: { type: 'varchar', length: 100, unique: true },
  },
});

const Label = new EntitySchema({
  name: 'Label',
  tableName: 'label',
  columns: { id, name: { type: 'varchar', length: 50, unique: true } },
});

const Book = new EntitySchema({
  name: 'Book',
  tableName: 'book',
  columns: {
    id,
    title: { type: 'varchar', length: 200 },
    isbn: { type: 'varchar', length: 20, unique: true },
    pageCount: { type: 'varchar', length: 20, default: '0' },
    price: { type: 'decimal', precision: 8, scale: 2, default: 0 },
    authorId: { type: 'integer' },
  },
  relations: {
    author: { type: 'many-to-one', target: 'Author', onDelete: 'CASCADE', nullable: false,
      joinColumn: { name: 'authorId' } },
  },
  indices: [{ name: 'book_title', columns: ['title'] }],
  uniques: [{ name: 'book_author_title', columns: ['authorId', 'title'] }],
});

module.exports = [Author, Label, Book];
