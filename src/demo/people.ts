/** The people of the simulated tailnet, and the devices they carry. */

export interface Person {
  readonly userId: string;
  readonly loginName: string;
  readonly displayName: string;
  readonly firstName: string;
  /** May change the settings of the tailnet. */
  readonly isAdmin: boolean;
  readonly laptopOs: "linux" | "macOS" | "windows";
  readonly phoneOs: "android" | "iOS" | undefined;
}

/** Twelve people; three of them are admins, eight carry a phone that is in the tailnet. */
export const people: readonly Person[] = [
  person("alice", "macOS", "iOS", { isAdmin: true }),
  person("bruno", "linux", "android", { isAdmin: true }),
  person("chiara", "macOS", "iOS"),
  person("dmitri", "windows", undefined),
  person("elif", "macOS", "iOS"),
  person("femi", "linux", "android"),
  person("greta", "windows", "android", { isAdmin: true }),
  person("hana", "macOS", "iOS"),
  person("ivo", "linux", undefined),
  person("jun", "windows", undefined),
  person("kavya", "macOS", "iOS"),
  person("lars", "windows", undefined),
];

function person(
  firstName: string,
  laptopOs: Person["laptopOs"],
  phoneOs: Person["phoneOs"],
  { isAdmin = false } = {},
): Person {
  const capitalised = firstName.slice(0, 1).toUpperCase() + firstName.slice(1);
  return {
    userId: `u${firstName.toUpperCase()}1CNTRL`,
    loginName: `${firstName}@example.com`,
    displayName: `${capitalised} Example`,
    firstName,
    isAdmin,
    laptopOs,
    phoneOs,
  };
}
