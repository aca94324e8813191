// Sends five orders with Dapr's SDK, and a call that fails. Arguments: http or grpc.
import { CommunicationProtocolEnum, DaprClient } from "@dapr/dapr";

const isGrpc = process.argv[2] === "grpc";
const communicationProtocol = isGrpc ? CommunicationProtocolEnum.GRPC : CommunicationProtocolEnum.HTTP;
const daprPort = isGrpc ? process.env.DAPR_GRPC_PORT : process.env.DAPR_HTTP_PORT;
const client = new DaprClient({ daprHost: "127.0.0.1", daprPort, communicationProtocol });
for (let orderId = 1; orderId <= 5; orderId++) {
  await client.binding.send("checkout", "create", { orderId }, { partitionKey: "one" });
}
try {
  await client.binding.send("nothing", "create", {});
} catch (error) {
  console.log(`failed: ${error.message}`);
}
const { components } = await client.metadata.get();
console.log(`components: ${components.map((component) => component.name)}`);
await client.stop();
