// One policy generation, compiled and ready: what every exchange that began under it is judged by,
// throughout. Immutable; shared by any number of threads; a reload makes another beside it.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "gateway/policy.h"
#include "gateway/upstream.h"
#include "grant/grant.h"
#include "identity/token_verifier.h"

namespace zwinger::gateway {

// An upstream as the fronts know it. It may serve several generations.
struct Route {
  std::shared_ptr<Upstream> upstream;
  std::string vertical;
};

struct Generation {
  std::string digest;  // of the policy directory; empty for wrap without one
  grant::RoleTable roles{std::map<std::string, grant::Role, std::less<>>{}};
  std::shared_ptr<identity::TokenVerifier> verifier;  // null for wrap
  std::vector<std::string> authorization_servers;     // issuers
  std::map<std::string, Route, std::less<>> routes;   // by upstream id
  std::map<std::string, VirtualServer, std::less<>> virtual_servers;
  Naming naming = Naming::always;  // of the tools and prompts behind /mcp
  std::size_t max_sessions = 20'000;
};

}  // namespace zwinger::gateway
