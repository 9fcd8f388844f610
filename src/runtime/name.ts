/** Which JavaScript runtime this is: everything that differs between them is in this folder. */

export type RuntimeName = "bun" | "deno";

export const runtimeName: RuntimeName = "Deno" in globalThis ? "deno" : "bun";
