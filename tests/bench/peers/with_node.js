// What people write instead, with the AWS SDK for JavaScript: every row of table bench is put by
// BatchWriteItem, so many requests in flight.
//
//     node with_node.js IN_FLIGHT DATABASE ROWS
//
// The endpoint, credentials and certificate come from the environment, the packages from $NODE_PATH.
// Prints JSON: items a second, and microseconds of processor time an item; loading and opening are
// not counted.
'use strict';

const { BatchWriteItemCommand, DynamoDBClient } = require('@aws-sdk/client-dynamodb');
const Database = require('better-sqlite3');
const https = require('https');
const http = require('http');

const inFlight = Number(process.argv[2]);
const rows = Number(process.argv[4]);
const client = new DynamoDBClient({
  region: 'eu-test-1',
  requestHandler: {
    httpAgent: new http.Agent({ keepAlive: true, maxSockets: inFlight }),
    httpsAgent: new https.Agent({ keepAlive: true, maxSockets: inFlight }),
  },
});

function attribute(v) {
  return typeof v === 'number' ? { N: String(v) } : { S: v };
}

function* batches(db) {
  let puts = [];
  for (const row of db.prepare('SELECT * FROM bench ORDER BY id LIMIT ?').iterate(rows)) {
    const Item = {};
    for (const name of Object.keys(row)) Item[name] = attribute(row[name]);
    puts.push({ PutRequest: { Item } });
    if (puts.length === 25) {
      yield puts;
      puts = [];
    }
  }
  if (puts.length) yield puts;
}

async function worker(source) {
  for (let next = source.next(); !next.done; next = source.next()) {
    let left = next.value;
    while (left && left.length) {
      const reply = await client.send(new BatchWriteItemCommand({ RequestItems: { bench: left } }));
      left = (reply.UnprocessedItems || {}).bench;
    }
  }
}

async function main() {
  const source = batches(new Database(process.argv[3], { readonly: true }));
  const began = process.hrtime.bigint();
  const before = process.cpuUsage();
  await Promise.all(Array.from({ length: inFlight }, () => worker(source)));
  const used = process.cpuUsage(before);
  const seconds = Number(process.hrtime.bigint() - began) / 1e9;
  console.log(JSON.stringify({
    rate: rows / seconds,
    cpu_us: (used.user + used.system) / rows,
    peak_mb: (process.resourceUsage().maxRSS * 1024) / 1e6,
  }));
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
