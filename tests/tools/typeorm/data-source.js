// MIGRATIONS: how many of the migrations there are by now; the command line runs all it is given.
const { DataSource } = require('typeorm');
const entities = require('./entities');
const migrations = require('./migrations');

module.exports = new DataSource({
  type: 'better-sqlite3',
  database: process.env.DATABASE,
  entities,
  migrations: migrations.slice(0, Number(process.env.MIGRATIONS || migrations.length)),
});
