curl -X POST 'https://hooks.example.com/in' \
  -H 'User-Agent: GitHub-Hookshot/760256b' \
  -H 'Content-Type: application/json' \
  -H 'X-GitHub-Delivery: 72d3162e-cc78-11e3-81ab-4c9367dc0958' \
  -H 'X-GitHub-Event: ping' \
  -H 'X-Hub-Signature-256: sha256=0cae424609a0213d64deb059a72252ff662a0da45dc33610ec3485177144377d' \
  --compressed --data-raw $'{"zen": "Keep it logically awesome.", "hook_id": 30, "hook": {"type": "Repository", "name": "caf\u00e9"}}'
