/**
 * A witness inside the database: triggers that note, in the writer's own transaction, every change that only a leader may make.
 */

/** Runs SQL as the database's owner. */
type Query = <Row>(sql: string) => Promise<readonly Row[]>;

interface Noted {
  readonly name: string;
  /** The cursor as JSON; null for anything else. */
  readonly value: string | null;
  /** The fence the statement carries, if any. */
  readonly claimed: string | null;
  /** The fence of the lease at that moment. */
  readonly fence: string;
  readonly query: string;
}

/** Must be called after the program has created its tables in the schema. */
export async function installWitness(query: Query, schema: string): Promise<void> {
  await query(`
    CREATE SCHEMA witness;
    CREATE TABLE witness.noted (id bigint GENERATED ALWAYS AS IDENTITY, name text, value text, claimed bigint, fence bigint, query text);
    CREATE FUNCTION witness.note() RETURNS trigger LANGUAGE plpgsql AS $note$
    BEGIN
      INSERT INTO witness.noted (name, value, claimed, fence, query)
        SELECT NEW.name, CASE WHEN NEW.name ~ '^(cursor|poll)' THEN convert_from(NEW.value, 'UTF8') END,
          substring(current_query() from 'fenced\\((\\d+)[,)]')::bigint, l.fence, left(current_query(), 200)
        FROM ${schema}.lease l;
      RETURN NULL;
    END
    $note$;
    CREATE TRIGGER witness AFTER INSERT OR UPDATE ON ${schema}.state FOR EACH ROW EXECUTE FUNCTION witness.note();
    CREATE FUNCTION witness.note_lease() RETURNS trigger LANGUAGE plpgsql AS $note$
    BEGIN
      INSERT INTO witness.noted (name, claimed, fence, query) VALUES ('lease', NEW.fence, OLD.fence, left(current_query(), 200));
      RETURN NULL;
    END
    $note$;
    CREATE TRIGGER witness AFTER UPDATE ON ${schema}.lease FOR EACH ROW WHEN (NEW.fence <> OLD.fence)
      EXECUTE FUNCTION witness.note_lease()`);
}

/** Violations among the notes, which are in commit order for each name. */
export async function testimony(query: Query): Promise<readonly string[]> {
  const notes = await query<Noted>(
    "SELECT name, value, claimed::text, fence::text, query FROM witness.noted ORDER BY id",
  );
  const positions = new Map<string, number>();
  const violations: string[] = [];
  for (const { name, value, claimed, fence, query: text } of notes) {
    const isAppend = /\bappend\(/.test(text);
    if (name === "lease") {
      if (Number(claimed) !== Number(fence) + 1) violations.push(`the fence went from ${fence} to ${claimed}`);
    } else if (isAppend) {
      // An append passes its fence as a parameter, which the trigger cannot see.
      if (!name.startsWith("poll.")) violations.push(`an append wrote ${name}`);
    } else if (claimed !== fence)
      violations.push(`${name} was written under fence ${claimed}, and ${fence} led: ${text}`);
    const position = value === null ? undefined : positionOf(value);
    if (position === undefined) continue;
    const before = positions.get(name) ?? 0;
    if (position < before) violations.push(`${name} went back from ${before} to ${position}: ${text}`);
    positions.set(name, position);
  }
  return violations;
}

/** The position of a delivery or poll cursor. */
function positionOf(value: string): number | undefined {
  const { seq, readUntil } = JSON.parse(value) as { seq?: number; readUntil?: number };
  return seq ?? readUntil;
}
