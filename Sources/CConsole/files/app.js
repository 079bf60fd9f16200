const answer = await fetch("/v1/session");
document.getElementById("who").textContent = (await answer.json()).principal ?? "not signed in";
