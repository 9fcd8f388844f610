/** The files of the live page, embedded in the program and loaded when somebody opens the page. */
import type { BundledFile } from "./bundle.ts";
import { bundle } from "./bundle.ts" with { type: "macro" };

export const pageFiles: readonly BundledFile[] = bundle();
