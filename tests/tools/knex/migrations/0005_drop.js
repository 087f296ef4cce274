exports.config = { transaction: false };

exports.up = async (knex) => {
  await knex.schema.alterTable('authors', (table) => table.dropColumn('country'));
};

exports.down = async (knex) => {
  await knex.schema.alterTable('authors', (table) => {
    table.string('country', 2);
  });
};
