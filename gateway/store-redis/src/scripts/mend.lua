-- Writes for the verb that has the store, or nothing at all.
-- KEYS[1] head. ARGV: tag, holder, then commands: number of words, words. Answers 1, or 0 when the store has been lost to another.
local tag = ARGV[1]
if redis.call('GET', tag .. 'offline') ~= ARGV[2] then return 0 end
apply(3)
return 1
