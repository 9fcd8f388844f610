/** Database functions that only the leader calls: for its writes, each of which counts once, for deletion, and for partitions by day. */

import { heldDay, keyBytes, plans, raised } from "./storage.ts";

/** Creating or dropping a partition waits this long for its lock, and appends that arrive meanwhile wait behind it. */
const ofDays = "SET lock_timeout = '500ms' SET search_path FROM CURRENT";

export const leaderFunctions: readonly string[] = [
  // Begins the leader's transaction with that number. If it was committed before and its answer was lost, this raises an error.
  `CREATE OR REPLACE FUNCTION fenced(mine bigint, nth bigint, of_history text) RETURNS void LANGUAGE plpgsql SET lock_timeout = '2s'
SET search_path FROM CURRENT AS $fenced$
BEGIN
  PERFORM fenced(mine);
  IF history() <> of_history THEN
    RAISE EXCEPTION 'the database has failed over' USING ERRCODE = '${raised.failedOver}';
  END IF;
  -- A first copy of it may still run: this waits for its end.
  INSERT INTO state AS s (name, value) VALUES ('written', convert_to(mine || '.' || nth, 'UTF8'))
    ON CONFLICT (name) DO UPDATE SET value = excluded.value WHERE s.value <> excluded.value;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'written already' USING ERRCODE = '${raised.written}';
  END IF;
END
$fenced$`,

  // Removes marks, and the rows that nothing else holds.
  `CREATE OR REPLACE FUNCTION remove_marks(ids bigint[]) RETURNS void LANGUAGE plpgsql ${plans}
SET search_path FROM CURRENT AS $remove$
DECLARE
  of_seq bigint;
  seqs bigint[];
BEGIN
  WITH removed AS (DELETE FROM mark m WHERE m.id = ANY (ids) RETURNING m.seq) SELECT array_agg(DISTINCT seq) INTO seqs FROM removed;
  FOREACH of_seq IN ARRAY COALESCE(seqs, '{}') LOOP
    PERFORM remove_unmarked(of_seq);
  END LOOP;
END
$remove$`,

  // Removes rows of accepted records in a range of numbers, of one day or of all; rows with a mark are kept, held only by it.
  `CREATE OR REPLACE FUNCTION release_rows(of_day integer, from_seq bigint, to_seq bigint) RETURNS void LANGUAGE plpgsql ${plans}
SET search_path FROM CURRENT AS $release$
DECLARE
  gone bigint;
BEGIN
  UPDATE batch b SET day = ${heldDay} WHERE b.seq >= from_seq AND b.seq < to_seq AND b.day <> ${heldDay} AND (of_day IS NULL OR b.day = of_day)
    AND EXISTS (SELECT FROM mark m WHERE m.seq = b.seq);
  WITH removed AS (DELETE FROM batch b WHERE b.seq >= from_seq AND b.seq < to_seq AND b.day <> ${heldDay} AND (of_day IS NULL OR b.day = of_day)
    RETURNING b.bytes) SELECT COALESCE(SUM(bytes), 0) INTO gone FROM removed;
  UPDATE head SET used_bytes = used_bytes - gone;
END
$release$`,

  // Creates the partition of a day and moves its rows from the default partition. Returns whether it was created.
  `CREATE OR REPLACE FUNCTION make_day(of_table text, of_day integer) RETURNS boolean LANGUAGE plpgsql ${ofDays} AS $make$
DECLARE
  name text := of_table || '_' || of_day;
BEGIN
  IF to_regclass(quote_ident(name)) IS NOT NULL THEN
    RETURN false;
  END IF;
  EXECUTE format('LOCK TABLE ONLY %I, %I IN ACCESS EXCLUSIVE MODE', of_table, of_table || '_default');
  EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING ALL)', name, of_table);
  EXECUTE format('WITH moved AS (DELETE FROM %I WHERE day = %s RETURNING *) INSERT INTO %I SELECT * FROM moved',
    of_table || '_default', of_day, name);
  EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I FOR VALUES IN (%s)', of_table, name, of_day);
  RETURN true;
END
$make$`,

  // Drops a day's partition of batches, whose size up to that row is given. Does nothing if it has another last row.
  `CREATE OR REPLACE FUNCTION drop_rows(of_day integer, last_seq bigint, row_bytes bigint) RETURNS void LANGUAGE plpgsql ${ofDays} AS $drop$
DECLARE
  name text := 'batch_' || of_day;
  is_last bigint;
BEGIN
  EXECUTE format('LOCK TABLE ONLY %I IN ACCESS EXCLUSIVE MODE', 'batch');
  EXECUTE format('SELECT MAX(seq) FROM %I', name) INTO is_last;
  IF is_last IS DISTINCT FROM last_seq THEN
    RETURN;
  END IF;
  EXECUTE format('DROP TABLE %I', name);
  UPDATE head SET used_bytes = used_bytes - row_bytes;
END
$drop$`,

  // Deletes all flow keys of a day: its partition, and those in the default one.
  `CREATE OR REPLACE FUNCTION drop_keys(of_day integer) RETURNS void LANGUAGE plpgsql ${ofDays} AS $drop$
DECLARE
  gone bigint;
BEGIN
  IF to_regclass(quote_ident('flow_key_' || of_day)) IS NOT NULL THEN
    EXECUTE format('LOCK TABLE ONLY %I IN ACCESS EXCLUSIVE MODE', 'flow_key');
    EXECUTE format('DROP TABLE %I', 'flow_key_' || of_day);
  END IF;
  DELETE FROM flow_key_default WHERE day = of_day;
  DELETE FROM key_day WHERE day = of_day RETURNING keys INTO gone;
  UPDATE head SET used_bytes = used_bytes - ${keyBytes} * COALESCE(gone, 0);
END
$drop$`,
];
