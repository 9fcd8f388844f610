/** The parts of the runtime inside the binary, as listed in its LICENSE.md, with their copyright notices. */

/** A part that is linked into the runtime. The license is an SPDX expression. */
export interface RuntimePart {
  readonly name: string;
  readonly license: string;
  readonly copyright: string;
  readonly source: string;
}

const lite = "Copyright (c) 2017-2026 LiteSpeed Technologies Inc.";
const hultman = "Copyright Alex Hultman and contributors";

export const runtimeParts: readonly RuntimePart[] = [
  [
    "WebKit, JavaScriptCore",
    "LGPL-2.0-only AND BSD-2-Clause",
    "Copyright (c) Apple Inc. and contributors",
    "https://github.com/oven-sh/webkit",
  ],
  [
    "boringssl",
    "Apache-2.0 AND ISC AND MIT AND BSD-3-Clause",
    "Copyright (c) The OpenSSL Project Authors, Eric Young, Google Inc. and others",
    "https://boringssl.googlesource.com/boringssl",
  ],
  ["brotli", "MIT", "Copyright (c) 2009, 2010, 2013-2016 by the Brotli Authors", "https://github.com/google/brotli"],
  [
    "libarchive",
    "BSD-2-Clause",
    "Copyright (c) 2003-2026 Tim Kientzle and others",
    "https://github.com/libarchive/libarchive",
  ],
  [
    "lol-html",
    "BSD-3-Clause",
    "Copyright (C) 2019, Cloudflare, Inc.; Copyright (C) 2019, Ivan Nikulin",
    "https://github.com/cloudflare/lol-html",
  ],
  ["ls-hpack", "MIT", "Copyright (c) 2018 LiteSpeed Technologies Inc", "https://github.com/litespeedtech/ls-hpack"],
  ["ls-qpack", "MIT", lite, "https://github.com/litespeedtech/ls-qpack"],
  [
    "lsquic",
    "MIT AND BSD-3-Clause",
    `${lite}; Copyright 2015 The Chromium Authors`,
    "https://github.com/litespeedtech/lsquic",
  ],
  [
    "mimalloc",
    "MIT",
    "Copyright (c) 2018-2026 Microsoft Corporation, Daan Leijen",
    "https://github.com/microsoft/mimalloc",
  ],
  [
    "picohttpparser",
    "MIT",
    "Copyright (c) 2009-2014 Kazuho Oku, Tokuhiro Matsuno, Daisuke Murase, Shigeo Mitsunari",
    "https://github.com/h2o/picohttpparser",
  ],
  ["zstd", "BSD-3-Clause", "Copyright (c) Meta Platforms, Inc. and affiliates", "https://github.com/facebook/zstd"],
  ["simdutf", "Apache-2.0", "Copyright The simdutf authors", "https://github.com/simdutf/simdutf"],
  ["tinycc", "LGPL-2.1-only", "Copyright (c) 2001-2004 Fabrice Bellard and others", "https://github.com/tinycc/tinycc"],
  ["uSockets", "Apache-2.0", hultman, "https://github.com/uNetworking/uSockets"],
  ["uWebSockets", "Apache-2.0", hultman, "https://github.com/jarred-sumner/uwebsockets"],
  [
    "zlib-ng",
    "Zlib",
    "Copyright (C) 1995-2026 Jean-loup Gailly, Mark Adler and others",
    "https://github.com/zlib-ng/zlib-ng",
  ],
  [
    "c-ares",
    "MIT",
    "Copyright (c) 1998 Massachusetts Institute of Technology; Copyright (c) 2007-2026 Daniel Stenberg and many contributors",
    "https://github.com/c-ares/c-ares",
  ],
  ["ICU", "Unicode-3.0", "Copyright (c) 2016-2026 Unicode, Inc.", "https://github.com/unicode-org/icu"],
  [
    "base64",
    "BSD-2-Clause",
    "Copyright (c) 2005-2007 Nick Galbreath, 2015-2018 Wojciech Mula, 2016-2017 Matthieu Darbois, 2013-2022 Alfred Klomp",
    "https://github.com/aklomp/base64",
  ],
  [
    "libuv (on Windows)",
    "MIT",
    "Copyright (c) 2015-present libuv project contributors",
    "https://github.com/libuv/libuv",
  ],
  [
    "libdeflate",
    "MIT",
    "Copyright 2016 Eric Biggers; Copyright 2024 Google LLC",
    "https://github.com/ebiggers/libdeflate",
  ],
  [
    "libjpeg-turbo",
    "BSD-3-Clause AND IJG AND Zlib",
    "Copyright (C) 1991-2026 The libjpeg-turbo Project and many others. This software is based in part on the work of the Independent JPEG Group.",
    "https://github.com/libjpeg-turbo/libjpeg-turbo",
  ],
  ["libspng", "BSD-2-Clause", "Copyright (c) 2018-2023 Randy", "https://github.com/randy408/libspng"],
  ["libwebp", "BSD-3-Clause", "Copyright (c) 2010 Google Inc.", "https://github.com/webmproject/libwebp"],
  ["highway", "Apache-2.0", "Copyright The Highway Project Authors", "https://github.com/google/highway"],
  ["uucode", "MIT", "Copyright (c) Jacob Sandlund", "https://github.com/jacobsandlund/uucode"],
  [
    "TigerBeetle, parts of its I/O",
    "Apache-2.0",
    "Copyright The TigerBeetle Authors",
    "https://github.com/tigerbeetle/tigerbeetle",
  ],
  [
    "LLVM libc++abi, a fallback",
    "Apache-2.0 WITH LLVM-exception",
    "Copyright The LLVM Project contributors",
    "https://github.com/llvm/llvm-project",
  ],
].map(([name = "", license = "", copyright = "", source = ""]) => ({ name, license, copyright, source }));

export const runtimeNotice = `Bun ${Bun.version} is the runtime inside the binary. Copyright (c) Oven and contributors, under the MIT license. Its parts in
JavaScript come from packages under the MIT license (acorn, assert, buffer, events, process, punycode, stream-http,
string_decoder, url, util, and the browserify packages for constants, crypto, https, os, path, stream, tty, vm and zlib), and
its parser is a port of esbuild's (MIT, Copyright (c) 2020 Evan Wallace).

The binary links JavaScriptCore and WebKit statically, which are under the LGPL 2. The sources of the version that Bun uses are
at https://github.com/oven-sh/webkit, the sources of Bun at https://github.com/oven-sh/bun (tag bun-v${Bun.version}), and the
sources of this program in its repository: with them, anybody can change the library and link the binary anew. Bun's page
https://github.com/oven-sh/bun/blob/bun-v${Bun.version}/LICENSE.md says how.`;
