// Calls the binding `checkout`, as a program for Dapr does it with fetch.
const url = `http://localhost:${process.env.DAPR_HTTP_PORT}/v1.0/bindings/checkout`;
for (const orderId of [1, 2, 3]) {
  const body = JSON.stringify({ data: { orderId }, metadata: { partitionKey: "one" }, operation: "create" });
  const response = await fetch(url, { method: "POST", headers: { "Content-Type": "application/json" }, body });
  console.log("sent", orderId, response.status);
}
