/** The note in a state directory whose journal was moved to a database: without it, an instance could go on here with old counters. */
import { join } from "node:path";
import { Unavailable } from "../../errors.ts";
import { readPrivateFile, writePrivateFile } from "../../lib/private-file.ts";
import type { DirectoryProblem } from "./directory.ts";

const movedName = "moved-to";

export function noteMoved(directory: string, to: string): void {
  writePrivateFile(join(directory, movedName), `${to}\n`);
}

/** The place that was noted, in its words. */
export function notedMove(directory: string): string | undefined {
  return readPrivateFile(join(directory, movedName))?.trim();
}

/** Why the journal may not be used here, and what to do; nothing if it was not moved. */
export function movedProblem(directory: string): DirectoryProblem | undefined {
  const to = notedMove(directory);
  return to === undefined
    ? undefined
    : {
        reason: `the journal in ${directory} was moved to ${to}`,
        remedy: `Set state.url to use it there. If the move was not finished, run it again; to go back, delete ${join(directory, movedName)} while nothing was received there.`,
      };
}

/** @throws {Unavailable} if the journal was moved. */
export function refuseMoved(directory: string): void {
  const problem = movedProblem(directory);
  if (problem !== undefined) throw new Unavailable(`${problem.reason}. ${problem.remedy}`);
}
