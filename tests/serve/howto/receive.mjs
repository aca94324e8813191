// Events of the binding `checkout`, as a program for Dapr takes them with express. Its port stands in APP_PORT.
import { createRequire } from "node:module";

// Installed with Dapr's SDK, which uses it.
const express = createRequire(new URL("../javascript/package.json", import.meta.url))("express");
const app = express();
app.use(express.json());
app.post("/checkout", (request, response) => {
  console.log("received", JSON.stringify(request.body));
  response.sendStatus(200);
});
app.listen(Number(process.env.APP_PORT));
