import { defineConfig } from 'drizzle-kit';

export default defineConfig({
  dialect: 'sqlite',
  schema: './schema.ts',
  out: process.env.OUT ?? './out',
  dbCredentials: { url: process.env.DATABASE! },
  // What an application whose database is mirrored needs for push and pull.
  ...(process.env.INCLUDE ? {} : { tablesFilter: ['!_syncd_*'] }),
});
