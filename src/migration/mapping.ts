/** The rows of the mapping table: each maps a setting of the Go program to its equivalent here. */

/** The settings of the Go program: given values, or else the defaults in the table. */
export interface GoSettings {
  /** `undefined` if it was not given. */
  given(key: string): unknown;
  text(key: string): string;
  isOn(key: string): boolean;
}

export interface Mapping {
  /** A setting of the Go program; `.*` at the end means everything in a section. */
  readonly from: string;
  /** The setting that takes the value here; if there is none, `remark` says why. */
  readonly to?: string;
  /** The default in the Go program, as it would be written there. */
  readonly initial?: string;
  /** What is different, or why there is no equivalent, as a clause. */
  readonly remark?: string;
  /**
   * True if the remark is for the user of these settings. If absent, the remark is for users with a value other than the
   * default.
   */
  readonly concerns?: (go: GoSettings) => boolean;
  /** If the remark is for this user, something has to be done by hand. */
  readonly isTask?: true;
  /**
   * Converts a value of the right type to one for `to`; `undefined` stands for the default here. Defaults of the Go program are
   * converted too, so that behavior stays the same for users who never set them.
   */
  readonly convert?: (value: unknown, go: GoSettings) => unknown;
}

type More = Omit<Mapping, "from" | "to" | "initial">;

/** A setting of the same name. */
export function same(from: string, initial: string, more: More = {}): Mapping {
  return { from, to: from, initial, ...more };
}

/** A setting of another name. */
export function moved(from: string, to: string, initial: string, more: More = {}): Mapping {
  return { from, to, initial, ...more };
}

/** A setting without an equivalent; for a section, `concerns` says whether it is in use. */
export function missing(
  from: string,
  remark: string,
  more: Pick<Mapping, "initial" | "concerns" | "isTask"> = {},
): Mapping {
  return { from, remark, ...(from.endsWith(".*") ? { concerns: () => false } : {}), ...more };
}

/** For `convert`: zero and negative values mean the default. */
export const positive = (value: unknown): unknown => (typeof value === "number" && value <= 0 ? undefined : value);

/** For `concerns`: true if a switch of the Go program is on. */
export const on =
  (key: string) =>
  (go: GoSettings): boolean =>
    go.isOn(key);

/** True if the Go program has credentials for Tailscale's API. It reads only those of its `auth.method`. */
export function hasGoCredentials(go: GoSettings): boolean {
  const isGiven = (key: string): boolean => go.text(key) !== "" || go.text(`${key}_file`) !== "";
  switch (go.text("tailscale.auth.method")) {
    case "oauth":
      return go.text("tailscale.auth.oauth.client_id") !== "" && isGiven("tailscale.auth.oauth.client_secret");
    case "apikey":
      return isGiven("tailscale.auth.apikey");
    default:
      return false;
  }
}
