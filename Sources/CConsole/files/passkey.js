// Passkeys: signing in, signing an approval, making a new one.

const encoder = new TextEncoder();

function base64(buffer) {
  let text = "";
  for (const byte of new Uint8Array(buffer)) text += String.fromCharCode(byte);
  return btoa(text);
}
const base64url = (buffer) => base64(buffer).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
const bytesOf = (text) => Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (c) => c.charCodeAt(0));

/** Browsers offer passkeys on https and on localhost only. */
export const available = () => isSecureContext && "credentials" in navigator && "PublicKeyCredential" in globalThis;

/** The text whose SHA-256 a passkey signs. */
export const approvalText = ({ origin, plan, hash, decision, principal, reason }) =>
  `proxmox-agent approval v1\nagent ${origin}\nplan ${plan}\nplan_hash ${hash}\ndecision ${decision}\nprincipal ${principal}\nreason ${JSON.stringify(reason)}\n`;

async function assertion(options) {
  const { rawId, response } = await navigator.credentials.get({ publicKey: { userVerification: "required", timeout: 120_000,
    ...options } });
  return {
    credential_id: base64url(rawId), client_data: base64url(response.clientDataJSON),
    authenticator_data: base64url(response.authenticatorData), signature: base64url(response.signature),
  };
}

/** Signs an approval text with one of the caller's passkeys. */
export async function signApproval(text, keys, rpId) {
  return assertion({
    rpId, challenge: await crypto.subtle.digest("SHA-256", encoder.encode(text)),
    allowCredentials: keys.map((key) => ({ type: "public-key", id: bytesOf(key.credential_id) })),
  });
}

/** Answers the agent's challenge with any passkey of this site. */
export const answer = ({ challenge, rp_id: rpId }) => assertion({ rpId, challenge: bytesOf(challenge), allowCredentials: [] });

/** Makes a passkey, and gives its line for `approval_keys`. */
export async function create({ principal, origin, rpId, keys, comment }) {
  const { rawId, response } = await navigator.credentials.create({ publicKey: {
    rp: { id: rpId, name: "proxmox-agent" },
    user: { id: await crypto.subtle.digest("SHA-256", encoder.encode(`${origin}\n${principal}`)), name: principal, displayName: principal },
    challenge: crypto.getRandomValues(new Uint8Array(32)),
    pubKeyCredParams: [{ type: "public-key", alg: -7 }, { type: "public-key", alg: -8 }],
    authenticatorSelection: { residentKey: "required", userVerification: "required" },
    excludeCredentials: keys.map((key) => ({ type: "public-key", id: bytesOf(key.credential_id) })),
    attestation: "none", timeout: 120_000,
  } });
  const kind = { "-7": "ES256", "-8": "EdDSA" }[response.getPublicKeyAlgorithm()];
  return `passkey ${kind} ${base64url(rawId)} ${base64(response.getPublicKey())} ${comment}`.trim();
}

/** What went wrong, in words. */
export const passkeyProblem = (error) => (error.name === "NotAllowedError" ? "The passkey was not used: it was cancelled, or took too long."
  : error.name === "InvalidStateError" ? "This device already has a passkey of yours."
    : error.name === "SecurityError" ? "This address is not the one that the agent's passkeys are for: see public_url in its configuration." : error.message);
