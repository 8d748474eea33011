// All operations with Plivo's own SDK for Node, against PLIVO_BASE_URL. Prints what came back as JSON.
"use strict";
const { PLIVO_BASE_URL: base, PLIVO_AUTH_ID: authId, PLIVO_AUTH_TOKEN: authToken } = process.env;
const plivo = require("plivo");
// The SDK has Plivo's address written into it, so it is changed in the HTTP library that the SDK uses.
const axios = require(require.resolve("axios", { paths: [require.resolve("plivo")] }));
const redirect = (request) => ({ ...request, url: request.url.replace("https://api.plivo.com", base) });
axios.interceptors.request.use(redirect);
const create = axios.create.bind(axios);
axios.create = (settings) => {
  const instance = create(settings);
  instance.interceptors.request.use(redirect);
  return instance;
};

async function main() {
  const client = new plivo.Client(authId, authToken);
  const made = await client.endpoints.create("alice", "s3cret", "Test Account");
  const read = await client.endpoints.get(made.endpointId);
  const changed = await client.endpoints.update(made.endpointId, { alias: "Double time." });
  const reread = await client.endpoints.get(made.endpointId);
  const first = await client.endpoints.list({ limit: 20, offset: 0 });
  const second = await client.endpoints.list({ limit: 20, offset: 20 });
  const minted = await client.token.create(authId, { sub: made.username, incoming_allow: true });
  await client.endpoints.delete(made.endpointId);
  const gone = await client.endpoints.get(made.endpointId).catch((error) => String(error));
  const refused = await client.endpoints.create("1", "s3cret", "a").catch((error) => String(error));
  console.log(JSON.stringify({
    made: made.message, username: made.username, sameName: read.username === made.username,
    registered: read.sipRegistered, changed: changed.message, alias: reread.alias,
    pages: [first.length, second.length], token: minted.token, gone, refused,
  }));
  process.exit(0); // the SDK's sockets would keep it
}

main().catch((error) => { console.error(error); process.exit(1); });
