// A table that others refer to is rebuilt: knex switches foreign keys off only outside a transaction.
exports.config = { transaction: false };

exports.up = async (knex) => {
  await knex.schema.alterTable('books', (table) => {
    table.string('page_count', 20).notNullable().defaultTo('0').alter();
  });
};

exports.down = async (knex) => {
  await knex.schema.alterTable('books', (table) => {
    table.integer('page_count').notNullable().defaultTo(0).alter();
  });
};
