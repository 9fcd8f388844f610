/** What the functions inside the database and those that call them agree on. */

/** What a key counts for in `head.used_bytes`: its row and its place in the index. */
export const keyBytes = 100;

/** What a row counts for beside its body and tally. */
export const rowBytes = 256;

/** The day of rows that only marks hold: they are in the default partition of batches, since no row is received on it. */
export const heldDay = -1;

/** Of the flow keys of a journal that was moved here, which does not tell their days. No record is of that day. */
export const unknownDay = -1;

/** SQLSTATEs that the functions raise: another instance leads; the retried line is gone; the write is committed; the database has failed over. */
export const raised = { fenced: "TS001", gone: "TS002", written: "TS004", failedOver: "TS005" } as const;

/**
 * Plans are chosen once per connection, perhaps while a table was small: always by index. Whoever waits for another's lock
 * longer than this is told so (55P03) and repeats.
 */
export const plans = "SET jit = off SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off";
