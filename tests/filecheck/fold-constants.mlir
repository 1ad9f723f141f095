// RUN: imcc opt %s --passes "fold"

// An operator of constants becomes a constant of its name, and what nothing needs is gone.
builtin.module {
  %x = imc.input "x" : tensor<2x3xf32>
  %unused = imc.input "unused" : tensor<1xf32>
  %a = imc.weight "a" : tensor<3xf32>
  %b = imc.digital "Exp"(%a) {} {source = #imc.source<node = "exp", op_type = "Exp">} : (tensor<3xf32>) -> tensor<3xf32>
  %dead = imc.digital "Neg"(%x) {} : (tensor<2x3xf32>) -> tensor<2x3xf32>
  %y = imc.digital "Mul"(%x, %b) {} : (tensor<2x3xf32>, tensor<3xf32>) -> tensor<2x3xf32>
  imc.output "y" %y : tensor<2x3xf32>
}
// CHECK:      builtin.module {
// CHECK-NEXT:   [[X:%.*]] = imc.input "x"
// CHECK-NEXT:   imc.input "unused"
// CHECK-NEXT:   [[B:%.*]] = imc.weight "exp" : tensor<3xf32>
// CHECK-NEXT:   [[Y:%.*]] = imc.digital "Mul"([[X]], [[B]])
// CHECK-NEXT:   imc.output "y" [[Y]]

// -----

// Two additions of constants in a row are one.
builtin.module {
  %x = imc.input "x" : tensor<2x3xf32>
  %a = imc.weight "a" : tensor<3xf32>
  %b = imc.weight "b" : tensor<2x1xf32>
  %h = imc.digital "Add"(%x, %a) {} : (tensor<2x3xf32>, tensor<3xf32>) -> tensor<2x3xf32>
  %y = imc.digital "Add"(%h, %b) {} {source = #imc.source<node = "add", op_type = "Add">} : (tensor<2x3xf32>, tensor<2x1xf32>) -> tensor<2x3xf32>
  imc.output "y" %y : tensor<2x3xf32>
}
// CHECK:      [[X:%.*]] = imc.input "x"
// CHECK-NEXT: [[C:%.*]] = imc.weight "add.sum" : tensor<2x3xf32>
// CHECK-NEXT: imc.digital "Add"([[X]], [[C]])
