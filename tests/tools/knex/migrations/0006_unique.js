exports.config = { transaction: false };

exports.up = async (knex) => {
  await knex.schema.alterTable('labels', (table) => table.unique('name'));
  await knex.schema.alterTable('books', (table) => table.unique(['author_id', 'title']));
};

exports.down = async (knex) => {
  await knex.schema.alterTable('books', (table) => table.dropUnique(['author_id', 'title']));
  await knex.schema.alterTable('labels', (table) => table.dropUnique('name'));
};
