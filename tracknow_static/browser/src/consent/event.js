// A home-made manager: a DOM event on document; its detail being false withdraws. One that was
// fired before this ran was heard by capture.js.
TN_SUBSCRIBE("TN_EVENT", (event) =>
  event ? (event.type == "TN_EVENT" ? event.detail !== false : null) : tracknow.c,
);
