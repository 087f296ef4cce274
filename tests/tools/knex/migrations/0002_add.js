exports.up = async (knex) => {
  await knex.schema.alterTable('books', (table) => {
    table.decimal('price', 8, 2).notNullable().defaultTo(0);
  });
  await knex.schema.alterTable('authors', (table) => {
    table.string('country', 2);
  });
};

exports.down = async (knex) => {
  await knex.schema.alterTable('authors', (table) => table.dropColumn('country'));
  await knex.schema.alterTable('books', (table) => table.dropColumn('price'));
};
