<?php
$config = [
    'people' => ['exampleauth:UserPass',
        'ada:ada' => ['uid' => ['ada'], 'mail' => ['ada@example.com'], 'givenName' => ['Ada'], 'sn' => ['Lovelace'], 'groups' => ['staff', 'admins']],
        'con:con' => ['uid' => ['con'], 'mail' => ['con@vendor.example'], 'givenName' => ['Con'], 'sn' => ['Tractor'], 'groups' => ['contractors']],
        'zoë:zoë' => ['uid' => ['zoë'], 'mail' => ['zoe@example.com'], 'givenName' => ['Zoë'], 'sn' => ['Brontë-Núñez'], 'groups' => ['staff', 'a & b <c>']],
    ],
];
