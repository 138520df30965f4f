// Calls one method of the official client and prints what it calls back with, as JSON.
//
//   BUDDY_URL=http://127.0.0.1:8000/buddy/api BUDDY_TOKEN=... node drive.js executions.getList '["demo", "shop", 1, {"page": 1}]'

"use strict";

const buddy = require("buddyworksapi").create();

// The client has no setting for another address: its constructor takes none, and reads `options.host` before anybody can change it. What
// stands before the path of every request is the public property `host` of its public property `client`, which all its APIs share.
buddy.client.host = process.env.BUDDY_URL;

const [method, given = "[]"] = process.argv.slice(2);
const [api, name] = method.split(".");

buddy[api][name](process.env.BUDDY_TOKEN, ...JSON.parse(given), (error, json) => {
  const failure = error && { code: error.code, message: error.message, messages: error.messages };
  console.log(JSON.stringify({ error: failure, json }));
});
