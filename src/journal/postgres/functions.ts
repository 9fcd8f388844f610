/**
 * PL/pgSQL functions inside the database, so that an append is one statement, works behind every pooler, and leaves no
 * transaction open when this process stops. The order of locks is in schema.ts.
 */
import { leaderFunctions } from "./leader-functions.ts";
import { heldDay, keyBytes, plans, raised, unknownDay } from "./storage.ts";

/** Raised and caught inside `append`. */
const isKnown = "TS003";

/** A packed key of `flow_keys` or `other_keys`: 12 bytes of key, followed by its word. */
const keyAt = (packed: string, size: number) => ({
  key: `substr(${packed}, ${size} * i + 1, 12)`,
  word: `substr(${packed}, ${size} * i + 13, 4)`,
});
const flow = keyAt("flow_keys", 16);
const change = keyAt("flow_changes", 20);
const other = keyAt("other_keys", 20);
const dayAt = "get_byte(flow_days, 2 * i) + 256 * get_byte(flow_days, 2 * i + 1)";
const until = (packed: string, size: number) => `generate_series(0, length(${packed}) / ${size} - 1) AS i`;
const others = `SELECT g.class, g.at, ${other.key} AS key, ${other.word} AS expected, substr(other_keys, 20 * i + 17, 4) AS word
  FROM json_to_recordset(other_groups) AS g(class text, at bigint, first integer, keys integer),
  generate_series(g.first, g.first + g.keys - 1) AS i`;
/** Queries for the held keys among `flow_keys`, and among `other_keys`. */
const heldFlow = `FROM (SELECT ${dayAt} AS day, ${flow.key} AS key FROM ${until("flow_keys", 16)}) k
  JOIN flow_key f ON f.key = k.key AND f.day IN (k.day, ${unknownDay})`;
const heldOthers = `SELECT json_object_agg(k.class, k.held) INTO known_other FROM (
  SELECT o.class, encode(string_agg(o.key || o.word, ''), 'base64') AS held
  FROM (${others}) k JOIN other_key o ON o.key = k.key AND o.class = k.class GROUP BY o.class) k`;
const none = "decode('00000000', 'hex')";

/**
 * One append of several batches. Flow keys that should be new: `flow_days`, two bytes each, and `flow_keys`, 16 bytes each.
 * `flow_changes`: known keys whose word changes, 20 bytes each: key, expected word, next word; `other_keys`: the same for other
 * classes, with an expected word of 0 for keys that should be new. If anything differs from what is expected, nothing is written,
 * and the outcome is `known` with the held ones of all these keys, 16 bytes each.
 */
const append = `
CREATE OR REPLACE FUNCTION append(
  me text, append_number bigint, fence bigint, known_history text,
  flow_days bytea, flow_keys bytea, flow_changes bytea, key_days json,
  other_keys bytea, other_groups json,
  row_list json, bodies bytea, polls json, retried_seq bigint, retried_line integer,
  OUT outcome text, OUT last_seq bigint,
  OUT seq bigint, OUT accepted_flow bigint, OUT accepted_audit bigint, OUT accepted_webhook bigint, OUT used_bytes bigint, OUT history text, OUT known_flow bytea, OUT known_other json
) LANGUAGE plpgsql SET lock_timeout = '5s' ${plans} SET search_path FROM CURRENT AS $append$
#variable_conflict use_column
DECLARE
  was record;
  written bigint;
  changed bigint;
  found_rows bigint;
  added bigint;
BEGIN
  history := history();
  SELECT l.number, l.seq INTO was FROM last_append l WHERE l.member = me FOR UPDATE;
  IF NOT FOUND THEN
    -- The same first append may still run on a connection that was lost: this waits for its end.
    INSERT INTO last_append AS l (member, number, seq, at) VALUES (me, 0, 0, now_ms()) ON CONFLICT DO NOTHING;
    SELECT l.number, l.seq INTO was FROM last_append l WHERE l.member = me FOR UPDATE;
  END IF;
  IF was.number = append_number THEN
    outcome := 'done';
    last_seq := was.seq;
    SELECT h.seq, h.accepted_flow, h.accepted_audit, h.accepted_webhook, h.used_bytes
      INTO seq, accepted_flow, accepted_audit, accepted_webhook, used_bytes FROM head h;
    RETURN;
  END IF;
  IF history <> known_history THEN
    outcome := 'failed over';
    SELECT h.seq, h.accepted_flow, h.accepted_audit, h.accepted_webhook, h.used_bytes
      INTO seq, accepted_flow, accepted_audit, accepted_webhook, used_bytes FROM head h;
    RETURN;
  END IF;
  BEGIN
    IF append.fence IS NOT NULL THEN
      PERFORM fenced(append.fence);
    END IF;
    IF length(flow_keys) > 0 THEN
      IF EXISTS (SELECT FROM key_day WHERE day = ${unknownDay}) AND EXISTS (
        SELECT FROM (SELECT ${flow.key} AS key FROM ${until("flow_keys", 16)}) k
          JOIN flow_key f ON f.key = k.key AND f.day = ${unknownDay}) THEN
        RAISE EXCEPTION 'known' USING ERRCODE = '${isKnown}';
      END IF;
      INSERT INTO flow_key (day, key, word)
        SELECT ${dayAt}, ${flow.key}, ${flow.word} FROM ${until("flow_keys", 16)} ORDER BY 2, 1
        ON CONFLICT DO NOTHING;
      GET DIAGNOSTICS written = ROW_COUNT;
      IF written < length(flow_keys) / 16 THEN
        RAISE EXCEPTION 'known' USING ERRCODE = '${isKnown}';
      END IF;
    END IF;
    IF length(flow_changes) > 0 THEN
      UPDATE flow_key f SET word = k.word
        FROM (SELECT ${change.key} AS key, ${change.word} AS expected, substr(flow_changes, 20 * i + 17, 4) AS word
          FROM ${until("flow_changes", 20)} ORDER BY 1) k
        WHERE f.key = k.key AND f.word = k.expected;
      GET DIAGNOSTICS changed = ROW_COUNT;
      IF changed < length(flow_changes) / 20 THEN
        RAISE EXCEPTION 'known' USING ERRCODE = '${isKnown}';
      END IF;
    END IF;
    IF length(other_keys) > 0 THEN
      INSERT INTO other_key (class, key, word, at)
        SELECT k.class, k.key, k.word, k.at FROM (${others}) k WHERE k.expected = ${none} ORDER BY k.key, k.class
        ON CONFLICT DO NOTHING;
      GET DIAGNOSTICS written = ROW_COUNT;
      UPDATE other_key o SET word = k.word, at = greatest(o.at, k.at)
        FROM (SELECT * FROM (${others}) g ORDER BY key, class) k
        WHERE o.key = k.key AND o.class = k.class AND o.word = k.expected;
      GET DIAGNOSTICS changed = ROW_COUNT;
      IF written + changed < length(other_keys) / 20 THEN
        RAISE EXCEPTION 'known' USING ERRCODE = '${isKnown}';
      END IF;
    END IF;

    SELECT COUNT(*), COALESCE(SUM(r.bytes), 0) INTO found_rows, added FROM json_to_recordset(row_list) AS r(bytes bigint);
    UPDATE head h SET seq = h.seq + found_rows,
      used_bytes = h.used_bytes + added + ${keyBytes} * (length(flow_keys) / 16),
      accepted_flow = h.accepted_flow + a.flow, accepted_audit = h.accepted_audit + a.audit, accepted_webhook = h.accepted_webhook + a.webhook
      FROM (SELECT COALESCE(SUM(r.records) FILTER (WHERE r.type = 'flow'), 0) AS flow,
        COALESCE(SUM(r.records) FILTER (WHERE r.type = 'audit'), 0) AS audit,
        COALESCE(SUM(r.records) FILTER (WHERE r.type = 'webhook'), 0) AS webhook
        FROM json_to_recordset(row_list) AS r(type text, records bigint)) a
      RETURNING h.seq, h.accepted_flow, h.accepted_audit, h.accepted_webhook, h.used_bytes
      INTO seq, accepted_flow, accepted_audit, accepted_webhook, used_bytes;
    last_seq := seq;
    INSERT INTO batch (seq, accepted_at, day, records, length, bytes, source, type, tally, left_out, body)
      SELECT last_seq - found_rows + r.place, r.at, r.at / 86400000, r.records, r.length, r.bytes, r.source, r.type, r.tally,
        CASE WHEN r.left_bytes IS NOT NULL THEN substr(bodies, r.first + 1, r.left_bytes) END,
        CASE WHEN r.body_bytes IS NOT NULL THEN substr(bodies, r.first + COALESCE(r.left_bytes, 0) + 1, r.body_bytes) END
      FROM json_to_recordset(row_list) AS r(place integer, at bigint, records integer, length integer, bytes integer, source text,
        type text, tally text, first integer, left_bytes integer, body_bytes integer);
    INSERT INTO mark (class, seq, from_line, to_line, type, source, why, log_records, at, message)
      SELECT r.type, last_seq - found_rows + r.place, 0, r.records, r.quarantined, r.source, r.why, 0, r.at, ''
      FROM json_to_recordset(row_list) AS r(place integer, at bigint, records integer, source text, type text, quarantined text, why text)
      WHERE r.quarantined IS NOT NULL ORDER BY r.place;
    INSERT INTO key_day AS d (day, keys, latest_at, streamed_at)
      SELECT k.day, k.keys, k.latest, k.streamed FROM json_to_recordset(key_days) AS k(day integer, keys bigint, latest bigint, streamed bigint)
      ON CONFLICT (day) DO UPDATE SET keys = d.keys + excluded.keys,
        latest_at = greatest(d.latest_at, excluded.latest_at), streamed_at = greatest(d.streamed_at, excluded.streamed_at);
    INSERT INTO state AS s (name, value)
      SELECT p.name, convert_to(p.value, 'UTF8') FROM json_to_recordset(polls) AS p(name text, value text)
      ON CONFLICT (name) DO UPDATE SET value = excluded.value;
    IF retried_seq IS NOT NULL AND NOT remove_line(retried_seq, retried_line) THEN
      RAISE EXCEPTION 'gone' USING ERRCODE = '${raised.gone}';
    END IF;
    UPDATE last_append l SET number = append_number, seq = last_seq, at = now_ms() WHERE l.member = me;
    outcome := 'done';
  EXCEPTION
    WHEN SQLSTATE '${isKnown}' THEN
      outcome := 'known';
      SELECT string_agg(f.key || f.word, '') INTO known_flow FROM (
        SELECT f.key, f.word ${heldFlow}
        UNION ALL SELECT f.key, f.word FROM (SELECT ${change.key} AS key FROM ${until("flow_changes", 20)}) k
          JOIN flow_key f ON f.key = k.key) f;
      ${heldOthers};
    WHEN SQLSTATE '${raised.gone}' THEN outcome := 'gone';
    WHEN SQLSTATE '${raised.fenced}' THEN outcome := 'fenced';
  END;
END
$append$`;

export const functions: readonly string[] = [
  // Changes when a standby has taken over, as far as this database can tell, or when a backup was restored, which recreates the
  // tables.
  `CREATE OR REPLACE FUNCTION history() RETURNS text LANGUAGE plpgsql STABLE SET search_path FROM CURRENT AS $history$
DECLARE
  timeline text := '';
BEGIN
  BEGIN
    timeline := substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8);
  EXCEPTION WHEN OTHERS THEN NULL;
  END;
  RETURN timeline || '.' || 'head'::regclass::oid;
END
$history$`,

  `CREATE OR REPLACE FUNCTION now_ms() RETURNS bigint LANGUAGE sql AS
  $$ SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint $$`,

  // Called first by every write of the leader: no other instance becomes the leader until the end of this transaction.
  `CREATE OR REPLACE FUNCTION fenced(mine bigint) RETURNS void LANGUAGE plpgsql SET search_path FROM CURRENT AS $fenced$
BEGIN
  PERFORM FROM lease l WHERE l.fence = mine FOR KEY SHARE;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'another instance leads' USING ERRCODE = '${raised.fenced}';
  END IF;
END
$fenced$`,

  // Removes one quarantined text by splitting the mark that covers it; its row is deleted with the last one. Returns whether it
  // existed.
  `CREATE OR REPLACE FUNCTION remove_line(of_seq bigint, line integer) RETURNS boolean LANGUAGE plpgsql ${plans}
SET search_path FROM CURRENT AS $remove$
DECLARE
  covering mark;
BEGIN
  DELETE FROM mark m WHERE m.seq = of_seq AND m.from_line <= line AND m.to_line > line AND m.class IN ('invalid', 'sample')
    RETURNING m.* INTO covering;
  IF NOT FOUND THEN
    RETURN false;
  END IF;
  INSERT INTO mark (seq, from_line, to_line, log_records, at, class, type, source, why, message, destination)
    SELECT covering.seq, part.first, part.last, covering.log_records, covering.at, covering.class, covering.type, covering.source,
      covering.why, covering.message, covering.destination
    FROM (VALUES (covering.from_line, line), (line + 1, covering.to_line)) AS part(first, last) WHERE part.first < part.last;
  PERFORM remove_unmarked(of_seq);
  RETURN true;
END
$remove$`,

  // Deletes a row that only marks held, once it has none.
  `CREATE OR REPLACE FUNCTION remove_unmarked(of_seq bigint) RETURNS void LANGUAGE plpgsql ${plans}
SET search_path FROM CURRENT AS $remove$
DECLARE
  gone bigint;
BEGIN
  DELETE FROM batch b WHERE b.seq = of_seq AND (b.day = ${heldDay} OR b.type IN ('invalid', 'sample'))
    AND NOT EXISTS (SELECT FROM mark m WHERE m.seq = of_seq) RETURNING b.bytes INTO gone;
  IF FOUND THEN
    UPDATE head SET used_bytes = used_bytes - gone;
  END IF;
END
$remove$`,

  // Returns held keys, 16 bytes each: flow keys by their days (packed as for append), others by class.
  `CREATE OR REPLACE FUNCTION look_up(flow_days bytea, flow_keys bytea, other_keys bytea, other_groups json,
  OUT known_flow bytea, OUT known_other json) LANGUAGE plpgsql ${plans} SET search_path FROM CURRENT AS $look$
BEGIN
  SELECT string_agg(f.key || f.word, '') INTO known_flow ${heldFlow};
  ${heldOthers};
END
$look$`,

  ...leaderFunctions,

  append,
];
