exports.up = async (knex) => {
  await knex.schema.createTable('authors', (table) => {
    table.increments('id');
    table.string('name').notNullable();
    table.string('email').notNullable().unique();
  });
  await knex.schema.createTable('tags', (table) => {
    table.increments('id');
    table.string('name').notNullable();
  });
  await knex.schema.createTable('books', (table) => {
    table.increments('id');
    table.string('title').notNullable().index();
    table.string('isbn').notNullable().unique();
    table.integer('pages').notNullable().defaultTo(0);
    table.integer('author_id').notNullable().references('authors.id').onDelete('CASCADE');
  });
  await knex.schema.createTable('book_tags', (table) => {
    table.integer('book_id').notNullable().references('books.id').onDelete('CASCADE');
    table.integer('tag_id').notNullable().references('tags.id').onDelete('CASCADE');
    table.primary(['book_id', 'tag_id']);
  });
};

exports.down = async (knex) => {
  for (const table of ['book_tags', 'books', 'tags', 'authors']) await knex.schema.dropTable(table);
};
