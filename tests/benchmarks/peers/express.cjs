// A peer: Express with Stripe's official library and group commit on node's own SQLite.
//
// Arguments: folder of express, folder of stripe, database file, port, secret, and which rows:
// "inbox" stores the event in one table without further indexes; "outbox" stores what the relay
// stores, in the relay's own tables, which the file must have: the event with its indexes, its
// delivery, and the customer's reference.
const [expressFolder, stripeFolder, file, port, secret, rows] = process.argv.slice(2);
const express = require(expressFolder + "/node_modules/express");
const stripe = new (require(stripeFolder + "/node_modules/stripe"))("sk_test_x");
const { DatabaseSync } = require("node:sqlite");

const db = new DatabaseSync(file);
db.exec("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;");

function inbox() {
  db.exec(
    "CREATE TABLE IF NOT EXISTS events (id TEXT PRIMARY KEY, type TEXT, payload BLOB, signature TEXT, received_at REAL, state TEXT)",
  );
  const insert = db.prepare("INSERT INTO events VALUES (?, ?, ?, ?, ?, 'pending') ON CONFLICT DO NOTHING");
  return (event, body, signature) => insert.run(event.id, event.type, body, signature, Date.now() / 1000);
}

function outbox() {
  const events = db.prepare(
    "INSERT INTO events (id, type, object_id, reference, payment_intent, customer, livemode, account, created," +
      " received_at, skipped_because, content_type, signature, payload)" +
      " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, NULL, ?, ?, ?) ON CONFLICT DO NOTHING",
  );
  const deliveries = db.prepare(
    "INSERT INTO deliveries (event_id, destination, state, due_at, accepted_at, token, attempts, tries)" +
      " VALUES (?, 'https://bench-tracking.tracknow.info/stripe/postback', 'pending', ?, ?, 0, 0, 0)",
  );
  const customers = db.prepare(
    "INSERT INTO customer_references (customer, reference, seen_at) VALUES (?, ?, ?) ON CONFLICT (customer)" +
      " DO UPDATE SET reference = excluded.reference, seen_at = excluded.seen_at",
  );
  return (event, body, signature, type) => {
    const now = Date.now() / 1000;
    const one = event.data.object;
    const reference = one.client_reference_id ?? null;
    const done = events.run(
      event.id, event.type, one.id, reference, one.payment_intent ?? null, one.customer ?? null,
      event.livemode ? 1 : 0, event.account ?? null, event.created, now, type ?? null, signature, body,
    );
    if (!done.changes) return;
    deliveries.run(event.id, now, now);
    if (one.customer && reference) customers.run(one.customer, reference, now);
  };
}

const store = rows === "outbox" ? outbox() : inbox();
let waiting = [];
function flush() {
  const batch = waiting;
  waiting = [];
  let status = 200;
  try {
    db.exec("BEGIN IMMEDIATE");
    for (const [event, body, signature, type] of batch) store(event, body, signature, type);
    db.exec("COMMIT");
  } catch {
    status = 503;
  }
  for (const one of batch) one[4].status(status).end();
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
  waiting.push([event, request.body, signature, request.headers["content-type"], response]);
  if (waiting.length === 1) setImmediate(flush);
});
app.listen(Number(port), "127.0.0.1");
