-- Claim: ARGV: epoch, then what an inspection found.
local before = epoch
if exists and version == zero and not inspected(2) then return {'INSPECT'} end
if less(ARGV[1], epoch) then return {'FENCED', epoch, version} end
epoch = ARGV[1]
if not known or epoch ~= before then
  if state ~= 'saved' then length, ones, digest = 0, '', '' end
  store()
end
return {'OK'}
