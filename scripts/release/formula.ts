/** Generates the Homebrew formula of a release. */
import { join } from "node:path";
import { allTargets } from "../build/compile.ts";
import type { Stamp } from "../build/stamp.ts";
import { homepage, sha256 } from "./folder.ts";

/** Homebrew's block names: one per system, with one per processor inside. */
const systems = [
  ["macos", "darwin"],
  ["linux", "linux"],
] as const;
const processors = [
  ["arm", "arm64"],
  ["intel", "x64"],
] as const;

/**
 * A formula that installs the packed binaries of a folder. Homebrew unpacks `.gz` itself.
 * @throws {Error} if one of the four binaries is missing.
 */
export function formulaOf(folder: string, { version }: Stamp): string {
  const blocks = systems.map(([block, system]) => {
    const inner = processors.map(([processor, architecture]) => {
      const target = allTargets.find(({ name }) => name === `${system}-${architecture}`);
      const name = `tailscale2otel-${version}-${target?.name}.gz`;
      return `    on_${processor} do
      url "${homepage}/releases/download/v${version}/${name}"
      sha256 "${sha256(join(folder, name))}"
    end`;
    });
    return `  on_${block} do\n${inner.join("\n")}\n  end`;
  });
  return `class Tailscale2otel < Formula
  desc "Tailscale flow logs, audit logs and webhooks as OpenTelemetry metrics and logs"
  homepage "${homepage}"
  version "${version}"
  license "Apache-2.0"

${blocks.join("\n\n")}

  def install
    binary = Dir["tailscale2otel-*"].first
    # The compiler leaves no valid signature on binaries for Intel Macs.
    system "codesign", "--force", "--sign", "-", binary if OS.mac? && Hardware::CPU.intel?
    bin.install binary => "tailscale2otel"
    chmod 0755, bin/"tailscale2otel"
    generate_completions_from_executable(bin/"tailscale2otel", "completion", shells: [:bash, :zsh, :fish])
  end

  service do
    run [opt_bin/"tailscale2otel", "run", "--config", etc/"tailscale2otel/config.toml"]
    keep_alive true
    log_path var/"log/tailscale2otel.log"
    error_log_path var/"log/tailscale2otel.log"
  end

  test do
    assert_match version.to_s, shell_output("#{bin}/tailscale2otel version")
  end
end
`;
}
