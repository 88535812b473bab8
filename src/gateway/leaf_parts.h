// What leaves of both directions have in common. Private to steps.cc and server_steps.cc; pure.
#pragma once

#include "identity/principal.h"
#include "ledger/leaf.h"

namespace zwinger::gateway {

// Who it is, in a decision's leaf; nothing where it is nobody.
inline void name_principal(ledger::Leaf& leaf, const identity::Authenticated* who) {
  if (who == nullptr) return;
  const identity::Principal& principal = who->principal;
  leaf.issuer = principal.issuer;
  leaf.tenant = principal.tenant;
  leaf.subject = principal.subject;
  leaf.actors = principal.actors;
  leaf.session = principal.session;
  leaf.proof = to_string(principal.proof);
}

}  // namespace zwinger::gateway
