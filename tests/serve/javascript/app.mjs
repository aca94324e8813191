// An application with Dapr's SDK; the second event fails the first time. Arguments: http or grpc, and its port.
import { CommunicationProtocolEnum, DaprServer } from "@dapr/dapr";

const [protocol, serverPort] = process.argv.slice(2);
const communicationProtocol = protocol === "grpc" ? CommunicationProtocolEnum.GRPC : CommunicationProtocolEnum.HTTP;
const daprPort = protocol === "grpc" ? process.env.DAPR_GRPC_PORT : process.env.DAPR_HTTP_PORT;
const clientOptions = { daprHost: "127.0.0.1", daprPort, communicationProtocol };
const server = new DaprServer({ serverHost: "127.0.0.1", serverPort, communicationProtocol, clientOptions });
let failed = false;
await server.binding.receive("checkout", async (data) => {
  if (data.orderId === 2 && !failed) {
    failed = true;
    console.log("failed 2");
    throw new Error("not now");
  }
  console.log(`received ${data.orderId}`);
});
await server.start();
