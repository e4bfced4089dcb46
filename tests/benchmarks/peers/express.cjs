// A peer: Express with Stripe's official library and group commit on node's own SQLite.
//
// Arguments: folder of express, folder of stripe, database file, port, secret.
const [expressFolder, stripeFolder, file, port, secret] = process.argv.slice(2);
const express = require(expressFolder + "/node_modules/express");
const stripe = new (require(stripeFolder + "/node_modules/stripe"))("sk_test_x");
const { DatabaseSync } = require("node:sqlite");

const db = new DatabaseSync(file);
db.exec("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;");
db.exec(
  "CREATE TABLE IF NOT EXISTS events (id TEXT PRIMARY KEY, type TEXT, payload BLOB, signature TEXT, received_at REAL, state TEXT)",
);
const insert = db.prepare("INSERT INTO events VALUES (?, ?, ?, ?, ?, 'pending') ON CONFLICT DO NOTHING");

let waiting = [];
function flush() {
  const batch = waiting;
  waiting = [];
  let status = 200;
  try {
    db.exec("BEGIN IMMEDIATE");
    for (const [event, body, signature] of batch)
      insert.run(event.id, event.type, body, signature, Date.now() / 1000);
    db.exec("COMMIT");
  } catch {
    status = 503;
  }
  for (const [, , , response] of batch) response.status(status).end();
}

const app = express();
app.disable("x-powered-by");
app.disable("etag");
app.post("/stripe/webhook", express.raw({ type: "*/*", limit: "1mb" }), (request, response) => {
  const signature = request.headers["stripe-signature"];
  let event;
  try {
    event = stripe.webhooks.constructEvent(request.body, signature, secret);
  } catch {
    return response.status(400).end();
  }
  waiting.push([event, request.body, signature, response]);
  if (waiting.length === 1) setImmediate(flush);
});
app.listen(Number(port), "127.0.0.1");
