/** The live page in the browser: shows the view that the address names. */
import { render } from "preact";
import { readSession } from "./api.ts";
import { App } from "./app.tsx";
import { startLive } from "./live.ts";

const root = document.getElementById("app");
if (root !== null) render(<App />, root);
await readSession();
startLive();
