// A client with the types that openapi-typescript makes of the document: create, emit, list, rotate, test,
// replay. Its endpoint is a part of it.
import createClient from "openapi-fetch";
import type { components, paths, webhooks } from "./api.js";

declare const process: { argv: string[]; exit(code: number): never };

const [, , base, key, endpoint] = process.argv;
const api = createClient<paths>({ baseUrl: base!, headers: { authorization: `Bearer ${key}` } });

function check(holds: boolean, text: string): asserts holds {
  if (!holds) {
    console.error(`client.ts: ${text}`);
    process.exit(1);
  }
}

const draft: components["schemas"]["SubscriptionDraft"] = {
  url: endpoint!,
  events: ["call.*"],
  headers: { "x-tenant": "acme" },
  authentication: { type: "bearer", token: "mF_9.B5f-4.1JqM" },
  retry: { type: "exponential", first_seconds: 1, max_attempts: 3 },
};
const made = await api.POST("/v1/webhook-subscriptions", {
  body: draft,
  params: { header: { "Idempotency-Key": "ts-1" } },
});
check(made.data !== undefined && made.data.secret !== null, JSON.stringify(made.error));
const id = made.data.data.id;

// The type of the webhook is that of the event's data.
type Received = webhooks["call.ended"]["post"]["requestBody"]["content"]["application/json"];
const data: Received["data"] = { call_id: "c-ts" };
const emitted = await api.POST("/v1/events", { body: { type: "call.ended", data } });
check(emitted.data !== undefined && "deliveries" in emitted.data, JSON.stringify(emitted.error));
check(emitted.data.deliveries === 1, "one delivery is made");
const several = await api.POST("/v1/events", { body: { events: [{ type: "call.ended", data }] } });
check(several.data !== undefined && "data" in several.data, JSON.stringify(several.error));
const refused = await api.POST("/v1/events", {
  body: { type: "call.ended", data: { call_id: 7 } as unknown as Received["data"] },
});
check(refused.error?.field === "data.call_id", "the field is named");

const listed = await api.GET("/v1/webhook-subscriptions", { params: { query: { limit: 200 } } });
check(listed.data?.data.some((it) => it.id === id) === true, "it is listed");
const deliveries = await api.GET("/v1/webhook-subscriptions/{id}/deliveries", { params: { path: { id } } });
check(deliveries.data?.data.length === 2, "two deliveries are listed");

const path = { params: { path: { id } } };
const rotated = await api.POST("/v1/webhook-subscriptions/{id}/rotate-secret", { ...path, body: {} });
check(typeof rotated.data?.secret === "string" && rotated.data.secret !== made.data.secret, "another secret");
const tested = await api.POST("/v1/webhook-subscriptions/{id}/test", { ...path, body: {} });
check(tested.data?.data.delivered === true, "the test event is delivered");
const replayed = await api.POST("/v1/webhook-subscriptions/{id}/replay", path);
check(replayed.data?.data.replayed === 0, "there is no dead letter");

// What a read shows can be written back.
const read = await api.GET("/v1/webhook-subscriptions/{id}", path);
check(read.data !== undefined, "it is read");
const written = await api.PUT("/v1/webhook-subscriptions/{id}", { ...path, body: read.data.data });
check(JSON.stringify(written.data?.data) === JSON.stringify(read.data.data), JSON.stringify(written.error));
const patched = await api.PATCH("/v1/webhook-subscriptions/{id}", { ...path, body: { headers: { "x-b": "1" } } });
check(patched.data?.data.headers["x-tenant"]?.hidden === true, "the other header stays");
console.log("client.ts: create, emit, list, rotate, test, replay, read, write");
