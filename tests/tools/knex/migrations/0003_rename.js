exports.up = async (knex) => {
  await knex.schema.alterTable('books', (table) => table.renameColumn('pages', 'page_count'));
  await knex.schema.renameTable('tags', 'labels');
};

exports.down = async (knex) => {
  await knex.schema.renameTable('labels', 'tags');
  await knex.schema.alterTable('books', (table) => table.renameColumn('page_count', 'pages'));
};
