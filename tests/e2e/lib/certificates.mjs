// Certificate authorities for a test, made by the openssl program. Each is a folder of PEM files.
import { execFileSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { folder } from "./harness.mjs";

const openssl = (...args) => execFileSync("openssl", args, { stdio: ["ignore", "ignore", "pipe"] });

// An authority; issue() gives {certificate, key} (file names) and their contents as node:tls takes them.
export function makeAuthority(name) {
  const directory = folder("ca");
  const file = (base) => path.join(directory, base);
  const newKey = (base) => openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", file(base));
  newKey("ca.key");
  openssl("req", "-x509", "-new", "-key", file("ca.key"), "-subj", `/CN=${name}`, "-days", "2", "-out", file("ca.pem"),
    "-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign,cRLSign");
  return {
    file: file("ca.pem"), pem: fs.readFileSync(file("ca.pem"), "utf8"),
    issue(cn, { names = [], days = 2, usage = "serverAuth,clientAuth" } = {}) {
      newKey(`${cn}.key`);
      fs.chmodSync(file(`${cn}.key`), 0o600);
      openssl("req", "-new", "-key", file(`${cn}.key`), "-subj", `/CN=${cn}`, "-out", file(`${cn}.csr`));
      const extensions = ["basicConstraints=critical,CA:FALSE", `extendedKeyUsage=${usage}`, ...(names.length > 0 ? [`subjectAltName=${names.join(",")}`] : [])];
      fs.writeFileSync(file(`${cn}.ext`), `${extensions.join("\n")}\n`);
      openssl("x509", "-req", "-in", file(`${cn}.csr`), "-CA", file("ca.pem"), "-CAkey", file("ca.key"), "-CAcreateserial", "-days", String(days),
        "-extfile", file(`${cn}.ext`), "-out", file(`${cn}.pem`));
      const read = (extension) => fs.readFileSync(file(`${cn}.${extension}`), "utf8");
      return { certificate: file(`${cn}.pem`), key: file(`${cn}.key`), node: { cert: read("pem"), key: read("key") } };
    },
  };
}
