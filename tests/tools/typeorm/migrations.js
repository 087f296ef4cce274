// A small history. TypeORM takes the time of a migration from the digits of its name.
const { Table, TableColumn, TableForeignKey, TableIndex, TableUnique } = require('typeorm');

const id = { name: 'id', type: 'integer', isPrimary: true, isGenerated: true,
  generationStrategy: 'increment' };
const text = (name, length, more) => ({ name, type: 'varchar', length: String(length), ...more });

class First1700000000001 {
  async up(runner) {
    await runner.createTable(new Table({ name: 'author',
      columns: [id, text('name', 100), text('email', 100, { isUnique: true })] }));
    await runner.createTable(new Table({ name: 'tag', columns: [id, text('name', 50)] }));
    await runner.createTable(new Table({ name: 'book',
      columns: [id, text('title', 200), text('isbn', 20, { isUnique: true }),
        { name: 'pages', type: 'integer', default: 0 }, { name: 'authorId', type: 'integer' }] }));
    await runner.createIndex('book', new TableIndex({ name: 'book_title', columnNames: ['title'] }));
    await runner.createForeignKey('book', new TableForeignKey({ columnNames: ['authorId'],
      referencedTableName: 'author', referencedColumnNames: ['id'], onDelete: 'CASCADE' }));
  }

  async down(runner) {
    for (const table of ['book', 'tag', 'author']) await runner.dropTable(table);
  }
}

class Add1700000000002 {
  async up(runner) {
    await runner.addColumn('book', new TableColumn({ name: 'price', type: 'decimal', precision: 8,
      scale: 2, default: 0 }));
    await runner.addColumn('author', new TableColumn(text('country', 2, { isNullable: true })));
  }

  async down(runner) {
    await runner.dropColumn('author', 'country');
    await runner.dropColumn('book', 'price');
  }
}

class Rename1700000000003 {
  async up(runner) {
    await runner.renameColumn('book', 'pages', 'pageCount');
    await runner.renameTable('tag', 'label');
  }

  async down(runner) {
    await runner.renameTable('label', 'tag');
    await runner.renameColumn('book', 'pageCount', 'pages');
  }
}

class Alter1700000000004 {
  async up(runner) {
    await runner.changeColumn('book', 'pageCount',
      new TableColumn(text('pageCount', 20, { default: "'0'" })));
  }

  async down(runner) {
    await runner.changeColumn('book', 'pageCount',
      new TableColumn({ name: 'pageCount', type: 'integer', default: 0 }));
  }
}

class Drop1700000000005 {
  async up(runner) {
    await runner.dropColumn('author', 'country');
  }

  async down(runner) {
    await runner.addColumn('author', new TableColumn(text('country', 2, { isNullable: true })));
  }
}

class Unique1700000000006 {
  async up(runner) {
    await runner.createUniqueConstraint('label', new TableUnique({ columnNames: ['name'] }));
    await runner.createUniqueConstraint('book', new TableUnique({ name: 'book_author_title',
      columnNames: ['authorId', 'title'] }));
  }

  async down(runner) {
    await runner.dropUniqueConstraint('book', 'book_author_title');
    const label = await runner.getTable('label');
    await runner.dropUniqueConstraint('label', label.uniques[0]);
  }
}

module.exports = [First1700000000001, Add1700000000002, Rename1700000000003, Alter1700000000004,
  Drop1700000000005, Unique1700000000006];
