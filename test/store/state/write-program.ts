// Stores as many agents as it is told, one after the other, in the folder it is told.

import { insertAgent, startStore } from "./samples.ts";

const [folder = "", count = "0"] = process.argv.slice(2);
await using store = await startStore({ folder });
for (let made = 0; made < Number(count); made++) await insertAgent(store);
