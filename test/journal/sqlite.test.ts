/** Tests the contract for the journal over SQLite. */
import { describe } from "bun:test";
import { journalContract } from "./contract.ts";
import { destinationsContract } from "./destinations-contract.ts";
import { minutesContract } from "./minutes-contract.ts";
import { createState } from "./sqlite-state.ts";

describe("the journal over SQLite", () => {
  journalContract(createState);
  destinationsContract(createState);
  minutesContract(createState);
});
