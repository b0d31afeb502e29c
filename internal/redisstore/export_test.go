package redisstore

// SaveScriptSource and SaveScriptSHA let tests replace the script by a mutant.
var SaveScriptSource, SaveScriptSHA = saveScript.source, saveScript.sha
